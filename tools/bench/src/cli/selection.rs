//! Which workloads a command line means.

use std::path::Path;

use crate::definition::Definition;

/// The definitions of a folder that are named or belong to the group.
///
/// # Errors
/// A definition cannot be read, or a name or the group does not exist.
pub fn select(
    folder: &Path,
    names: &[String],
    group: Option<&str>,
) -> Result<Vec<Definition>, String> {
    let all = Definition::read_folder(folder).map_err(|error| error.to_string())?;
    let unknown = names.iter().find(|name| all.iter().all(|other| other.name != **name));
    if let Some(name) = unknown {
        return Err(format!(
            "no workload `{name}` in {}; `ringkeeper-bench list` shows what there is",
            folder.display()
        ));
    }
    let in_group = |definition: &Definition| {
        group.is_some_and(|group| definition.groups.iter().any(|g| g == group))
    };
    if let Some(group) = group
        && !all.iter().any(in_group)
    {
        return Err(format!(
            "no workload of {} is in the group `{group}`; `ringkeeper-bench list` shows the groups",
            folder.display()
        ));
    }
    let chosen = |definition: &Definition| names.contains(&definition.name) || in_group(definition);
    Ok(all.into_iter().filter(chosen).collect())
}
