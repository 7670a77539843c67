//! The licences of the dependencies, against the list in `xtask/licences.toml`.

mod expression;

use crate::metadata::Metadata;
use crate::paths;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;

/// `xtask/licences.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// Allowed everywhere.
    allow: BTreeSet<String>,
    /// Allowed also in what is not shipped.
    allow_in_tools: BTreeSet<String>,
    /// Packages that are shipped.
    shipped: Vec<String>,
}

/// Checks every dependency.
pub fn run() -> Result<()> {
    let path = paths::root().join("xtask").join("licences.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let policy = toml::from_str(&text).with_context(|| format!("{} does not parse", path.display()))?;
    let metadata = Metadata::read_all_features()?;
    let found = violations(&metadata, &policy);
    if !found.is_empty() {
        bail!("licences that {} does not allow:\n  {}", paths::shown(&path), found.join("\n  "));
    }
    println!("the licences of {} dependencies are allowed", metadata.packages.len() - metadata.members().count());
    Ok(())
}

fn violations(metadata: &Metadata, policy: &Policy) -> Vec<String> {
    let shipped: BTreeSet<&str> = policy.shipped.iter().flat_map(|name| metadata.linked_into(name)).collect();
    let mut found = Vec::new();
    for package in metadata.packages.iter().filter(|package| !metadata.is_member(package)) {
        let is_shipped = shipped.contains(package.name.as_str());
        let allows = |id: &str| policy.allow.contains(id) || (!is_shipped && policy.allow_in_tools.contains(id));
        let place = if is_shipped { "shipped" } else { "not shipped" };
        let verdict = match &package.license {
            None => Some("names no licence".to_owned()),
            Some(text) => match expression::satisfied(text, &allows) {
                Ok(true) => None,
                Ok(false) => Some(text.clone()),
                Err(error) => Some(format!("{text}: {error}")),
            },
        };
        found.extend(verdict.map(|verdict| format!("{} {} ({place}): {verdict}", package.name, package.version)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::example;

    fn policy(allow: &[&str], allow_in_tools: &[&str]) -> Policy {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Policy { allow: set(allow), allow_in_tools: set(allow_in_tools), shipped: vec!["app".into()] }
    }

    #[test]
    fn what_is_shipped_is_held_to_the_stricter_list() {
        assert!(violations(&example(), &policy(&["MIT"], &[])).is_empty());
        let found = violations(&example(), &policy(&[], &["MIT"]));
        assert_eq!(found, ["torch 1.0.0 (shipped): MIT"]);
        assert_eq!(violations(&example(), &policy(&[], &[])).len(), 3);
    }
}
