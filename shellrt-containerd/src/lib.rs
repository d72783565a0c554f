//! The shellrt plugin that runs modules as containers: the table of its messages.
