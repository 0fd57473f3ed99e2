//! The commands `run` and `list`.

pub(crate) mod list;
pub(crate) mod run;
#[cfg(test)]
mod tests;
