//! A disk that can lose power.
