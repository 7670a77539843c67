//! The direction of the dependencies: `plugin → {engine → {dsp, backend}, audio_file}`, `torch → backend`, and the tools know the
//! built bundle, the boundary of the library in it, and how audio files are read.

use crate::metadata::Metadata;
use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// What each member may name of the other members.
const MAY_NAME: [(&str, &[&str]); 8] = [
    ("underscore", &["underscore-engine", "underscore-audio-file"]),
    ("underscore-audio-file", &[]),
    ("underscore-engine", &["underscore-dsp", "underscore-backend"]),
    ("underscore-dsp", &[]),
    ("underscore-backend", &[]),
    ("underscore-torch", &["underscore-backend"]),
    ("host-tests", &[]),
    // The boundary of the library that the bundle holds: what `bench` measures of it, it measures there.
    ("xtask", &["host-tests", "underscore-backend", "underscore-audio-file"]),
];

/// Families of crates that end up in the binaries of these members only, directly or through others.
const BELONGS_TO: [(&str, &[&str]); 3] =
    [("tch", &["underscore-torch"]), ("torch-sys", &["underscore-torch"]), ("nice-plug", &["underscore"])];

/// The backend's C boundary is compiled into both sides and stays without dependencies.
const WITHOUT_DEPENDENCIES: &str = "underscore-backend";

/// Checks the workspace.
pub fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    report(&violations(&metadata, &MAY_NAME, &BELONGS_TO))?;
    println!("the dependencies of {} packages point one way", metadata.members().count());
    Ok(())
}

fn report(violations: &[String]) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    bail!("the dependencies point the wrong way:\n  {}", violations.join("\n  "))
}

fn violations(metadata: &Metadata, may_name: &[(&str, &[&str])], belongs_to: &[(&str, &[&str])]) -> Vec<String> {
    let members: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut found = Vec::new();
    for package in metadata.members() {
        let Some((_, allowed)) = may_name.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!("{} is new: say in xtask/src/layering.rs what it may name", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if members.contains(name) && !allowed.contains(&name) {
                found.push(format!("{} names {name}; it may name {allowed:?}", package.name));
            }
        }
        if package.name == WITHOUT_DEPENDENCIES && !package.dependencies.is_empty() {
            found.push(format!("{} has dependencies; it must have none", package.name));
        }
        for name in metadata.linked_into(&package.name) {
            let is_of =
                |family: &str| name == family || name.strip_prefix(family).is_some_and(|rest| rest.starts_with('-'));
            for (family, owners) in belongs_to.iter().filter(|(family, _)| is_of(family)) {
                if !owners.contains(&package.name.as_str()) {
                    found.push(format!("{} links {name}; {family} belongs to {owners:?} only", package.name));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::example;

    #[test]
    fn an_allowed_direction_passes() {
        let may_name: [(&str, &[&str]); 2] = [("app", &["lib"]), ("lib", &[])];
        assert!(report(&violations(&example(), &may_name, &[("torch", &["lib", "app"])])).is_ok());
    }

    #[test]
    fn a_forbidden_name_a_stray_library_and_a_new_member_are_told() {
        let may_name: [(&str, &[&str]); 1] = [("app", &[])];
        let found = violations(&example(), &may_name, &[("torch", &["lib"])]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("app names lib"), "{}", found[0]);
        assert!(found[1].starts_with("app links torch"), "{}", found[1]);
        assert!(found[2].starts_with("lib is new"), "{}", found[2]);
    }
}
