//! Programs as users write them: each compiles, and runs without a panic or an error.

#[test]
fn usual_programs_compile_and_run() {
    trybuild::TestCases::new().pass("programs/*.rs");
}
