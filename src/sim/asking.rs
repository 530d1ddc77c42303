//! How clients of wild ensembles ask: what no client of the other shapes does.

use super::rng::Rng;

/// See the module's words.
#[derive(Clone, Debug, Default)]
pub struct Asking {
    /// Now and then clients count their requests from the beginning again on a new connection.
    pub xids_again: bool,
}

impl Asking {
    /// Draws how they ask.
    pub fn draw(rng: &mut Rng) -> Asking {
        Asking { xids_again: rng.one_in(2) }
    }
}
