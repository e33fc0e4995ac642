//! What comes of a run, and how the program says so.

use std::process::ExitCode;

/// What came of a run, in words.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Everything is as it is to be.
    Held(String),
    /// Something is not.
    Broken(String),
    /// Nothing was found, and not all was done that was asked for: then nothing is proven.
    TooLittle(String),
}

impl Outcome {
    /// Says it, of the run that is called so.
    pub(crate) fn tell(&self, run: &str) -> ExitCode {
        match self {
            Self::Held(said) => {
                println!("held: {run}\n{said}");
                ExitCode::SUCCESS
            }
            Self::Broken(said) => {
                println!("broken: {run}\n{said}");
                ExitCode::FAILURE
            }
            Self::TooLittle(said) => {
                println!("too little: {run}, {said}");
                ExitCode::from(2)
            }
        }
    }
}
