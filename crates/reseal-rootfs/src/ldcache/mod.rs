//! The cache of the dynamic linker.
