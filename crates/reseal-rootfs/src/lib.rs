//! What the layers of an image add up to: the type of every path, and the contents of a few.

