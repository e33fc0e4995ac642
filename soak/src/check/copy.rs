//! What comes of an export and an import: the same store, line by line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;

use anyhow::Context as _;

use super::{Broken, EXPORTS};

/// How much of a line is shown.
const SHOWN_MAX: usize = 400;

/// Whether the copy is exported as the store was, and with so many records. Says how many lines there are.
pub(super) fn check(folder: &Path, records: usize) -> Result<usize, Broken> {
    let [of_store, of_copy] = EXPORTS.map(|name| lines(&folder.join(name)));
    let (mut of_store, mut of_copy) = (of_store?, of_copy?);
    let mut count = 0;
    loop {
        match (next(&mut of_store)?, next(&mut of_copy)?) {
            (None, None) => break,
            (line, copied) if line == copied => count += 1,
            (line, copied) => {
                let [line, copied] = [line, copied].map(shown);
                let said = format!("a copy is the same store: line {} of its export is", count + 1);
                return Err(Broken::new(format!("{said}\n  {copied}\nwhere that of the store is\n  {line}")));
            }
        }
    }
    // One before them and one after.
    if count != records + 2 {
        return Err(Broken::new(format!("the export has {count} lines, for {records} records")));
    }
    Ok(count)
}

type OfFile = Lines<BufReader<File>>;

fn lines(path: &Path) -> anyhow::Result<OfFile> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(BufReader::new(file).lines())
}

fn next(lines: &mut OfFile) -> anyhow::Result<Option<String>> {
    Ok(lines.next().transpose()?)
}

fn shown(line: Option<String>) -> String {
    line.map_or_else(|| "nothing".to_owned(), |line| line.chars().take(SHOWN_MAX).collect())
}
