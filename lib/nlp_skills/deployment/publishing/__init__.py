"""What goes to the Hugging Face Hub, under which terms, and how it gets there."""
