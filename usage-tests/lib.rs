//! Only tests: see `programs.rs`.
