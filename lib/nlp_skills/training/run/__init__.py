"""The run itself: a process that queues, trains, watches itself and is believed only when its model was looked at."""
