"""Building a bento and trying a bundle out; serving images and bentos leave this folder out."""
