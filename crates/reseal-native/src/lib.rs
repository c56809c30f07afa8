//! Lays newer packages down on an image without running anything of them.

