//! Programs that nobody here wrote.

// Filled below.
