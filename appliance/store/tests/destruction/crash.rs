//! K6: power lost at any step of a destruction leaves it done or not done, and nothing else lost.
