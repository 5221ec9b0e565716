"""General questions, written for this project (Apache-2.0 like its code); in each the first answer is the right one."""
