//! The files of one durable partition.
