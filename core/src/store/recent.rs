//! Names of the rows that were read before, because those that follow mostly have them, too.

use crate::event::EventName;
use crate::name::InvalidName;
use crate::stream::StreamId;

/// How many names of events are remembered. Looking through more of them would take as long as it saves.
const NAMES_MAX: usize = 16;

/// For stores: makes names of the texts that rows have, and the same name of the same text, which is then checked and kept in
/// memory once. One for each page.
#[derive(Debug, Default)]
pub struct Recent {
    names: Vec<EventName>,
    stream: Option<StreamId>,
}

impl Recent {
    /// The name of an event.
    ///
    /// # Errors
    ///
    /// [`InvalidName`], see [`EventName::new`].
    pub fn name(&mut self, text: &str) -> Result<EventName, InvalidName> {
        if let Some(known) = self.names.iter().find(|known| known.as_str() == text) {
            return Ok(known.clone());
        }
        let name = EventName::new(text.to_owned())?;
        if self.names.len() < NAMES_MAX {
            self.names.push(name.clone());
        }
        Ok(name)
    }

    /// The stream of a category with an id.
    ///
    /// # Errors
    ///
    /// [`InvalidName`], see [`StreamId::new`].
    pub fn stream(&mut self, category: &str, id: &str) -> Result<StreamId, InvalidName> {
        if let Some(last) = &self.stream
            && last.id() == id
            && last.category() == category
        {
            return Ok(last.clone());
        }
        let stream = StreamId::new(category, id)?;
        self.stream = Some(stream.clone());
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_comes_again_is_the_same_name() {
        let mut recent = Recent::default();
        for number in (0..2 * NAMES_MAX).chain(0..2 * NAMES_MAX) {
            let text = format!("order.{number}");
            assert_eq!(recent.name(&text).expect("a name").as_str(), text);
        }
        for (category, id) in [("a", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("a", "2")] {
            let stream = recent.stream(category, id).expect("a name");
            assert_eq!((stream.category(), stream.id()), (category, id));
        }
    }

    #[test]
    fn a_text_that_is_no_name_is_refused_each_time() {
        let mut recent = Recent::default();
        for _ in 0..2 {
            assert!(recent.name("a\0").is_err() && recent.stream("a/b", "c").is_err());
        }
    }
}
