"""What a shell offers when Tab is pressed: words of the command line, and names that are there."""
