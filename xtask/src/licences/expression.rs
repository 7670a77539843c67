//! SPDX licence expressions: `AND` binds tighter than `OR`, `WITH` adds an exception that only grants more, and the old `/` is
//! an `OR`.

use anyhow::{Result, bail};

/// Whether the licences that `allows` accepts are enough for an expression.
pub fn satisfied(expression: &str, allows: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allows };
    let satisfied = parser.any()?;
    match parser.words.first() {
        None => Ok(satisfied),
        Some(word) => bail!("unexpected `{word}`"),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allows: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Ok(satisfied)
    }

    fn all(&mut self) -> Result<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            if !self.take(")") {
                bail!("a parenthesis is not closed");
            }
            return Ok(satisfied);
        }
        let licence = self.id()?;
        if self.take("WITH") {
            self.id()?;
        }
        Ok((self.allows)(licence))
    }

    fn id(&mut self) -> Result<&'a str> {
        match self.words.split_first() {
            Some((word, rest)) if !matches!(*word, "(" | ")" | "AND" | "OR" | "WITH") => {
                self.words = rest;
                Ok(word)
            }
            Some((word, _)) => bail!("unexpected `{word}`"),
            None => bail!("it ends too soon"),
        }
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.words.first() == Some(&expected);
        if found {
            self.words = &self.words[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mit_and_isc(expression: &str) -> bool {
        satisfied(expression, &|id| matches!(id, "MIT" | "ISC")).expect("an expression")
    }

    #[test]
    fn one_allowed_side_of_an_or_is_enough_and_both_sides_of_an_and_are_needed() {
        assert!(with_mit_and_isc("GPL-3.0 OR MIT"));
        assert!(with_mit_and_isc("GPL-3.0/MIT"));
        assert!(with_mit_and_isc("MIT AND ISC"));
        assert!(!with_mit_and_isc("MIT AND GPL-3.0"));
    }

    #[test]
    fn and_binds_tighter_than_or_and_parentheses_turn_that_round() {
        assert!(with_mit_and_isc("MIT OR ISC AND GPL-3.0"));
        assert!(!with_mit_and_isc("(MIT OR ISC) AND GPL-3.0"));
        assert!(with_mit_and_isc("(MIT OR Apache-2.0) AND (ISC OR BSL-1.0)"));
    }

    #[test]
    fn an_exception_does_not_change_the_answer() {
        assert!(with_mit_and_isc("MIT WITH LLVM-exception"));
        assert!(!with_mit_and_isc("Apache-2.0 WITH LLVM-exception"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["", "MIT OR", "(MIT", "MIT ISC", "AND MIT", "MIT)"] {
            assert!(satisfied(text, &|_| true).is_err(), "{text}");
        }
    }
}
