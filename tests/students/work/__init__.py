"""Files of students, right: each is read as text, and with one edit it is wrong. Written anew in the style of a course."""
