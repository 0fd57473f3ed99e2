//! Steps of a group.
