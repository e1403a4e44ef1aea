"""What a serving image does not need: building a bento, trying a bundle out."""
