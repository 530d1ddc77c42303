//! The workloads that a command line names.

use std::path::Path;

use clap::Args;

use crate::compare;
use crate::definition::Definition;
use crate::shipped;

/// The workloads to run, and the sizes of ensembles.
#[derive(Debug, Args)]
pub struct Selection {
    /// Workloads by name.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    workloads: Vec<String>,
    /// All workloads of a group, such as `goals` or `ladders`.
    #[arg(long)]
    group: Option<String>,
    /// Sizes of ensembles; those that the workloads name if not given.
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    servers: Vec<usize>,
    /// Threads of the generator, over which the sessions are divided.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// Workloads, each with the sizes of ensembles to run it on.
pub type Chosen = Vec<(Definition, Vec<usize>)>;

impl Selection {
    /// Whether neither a workload nor a group is named.
    pub fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.group.is_none()
    }

    /// The workloads that are named, each with the sizes that are both meant for it and wanted.
    ///
    /// # Errors
    /// A definition cannot be read, a name or the group does not exist, or nothing is left.
    pub fn chosen(&self, definitions: Option<&Path>) -> Result<Chosen, String> {
        let found = select(definitions, &self.workloads, self.group.as_deref())?;
        not_empty(with_sizes(found, |_, _| true, &self.servers))
    }

    /// Those of these pairs of a workload and a size whose size is wanted.
    ///
    /// # Errors
    /// As [`Selection::chosen`].
    pub fn chosen_of(
        &self,
        definitions: Option<&Path>,
        of: &[(&str, usize)],
    ) -> Result<Chosen, String> {
        let names: Vec<String> = of.iter().map(|(name, _)| (*name).to_owned()).collect();
        let found = select(definitions, &names, None)?;
        let wanted = |definition: &Definition, size| of.contains(&(&definition.name[..], size));
        not_empty(with_sizes(found, wanted, &self.servers))
    }
}

fn with_sizes(
    found: Vec<Definition>,
    wanted: impl Fn(&Definition, usize) -> bool,
    servers: &[usize],
) -> Chosen {
    let sized = found.into_iter().map(|definition| {
        let mut sizes = compare::sizes(&definition, servers);
        sizes.retain(|size| wanted(&definition, *size));
        (definition, sizes)
    });
    sized.filter(|(_, sizes)| !sizes.is_empty()).collect()
}

fn not_empty(chosen: Chosen) -> Result<Chosen, String> {
    if chosen.is_empty() {
        return Err(
            "no workload for these sizes of ensembles; `ringkeeper-bench list` shows what \
                    each is for"
                .to_owned(),
        );
    }
    Ok(chosen)
}

/// All definitions of a folder, or those that are built in.
///
/// # Errors
/// The folder or a definition cannot be read.
pub fn all(folder: Option<&Path>) -> Result<Vec<Definition>, String> {
    folder.map_or_else(shipped::all, Definition::read_folder)
}

/// The definitions that are named or belong to the group, from a folder or from those that are built in.
///
/// # Errors
/// A definition cannot be read, or a name or the group does not exist.
pub fn select(
    folder: Option<&Path>,
    names: &[String],
    group: Option<&str>,
) -> Result<Vec<Definition>, String> {
    let all = all(folder)?;
    let place = folder.map_or("this program".to_owned(), |folder| folder.display().to_string());
    let unknown = names.iter().find(|name| all.iter().all(|other| other.name != **name));
    if let Some(name) = unknown {
        return Err(format!(
            "no workload `{name}` in {place}; `ringkeeper-bench list` shows what there is"
        ));
    }
    let in_group = |definition: &Definition| {
        group.is_some_and(|group| definition.groups.iter().any(|g| g == group))
    };
    if let Some(group) = group
        && !all.iter().any(in_group)
    {
        return Err(format!(
            "no workload of {place} is in the group `{group}`; `ringkeeper-bench list` shows the groups"
        ));
    }
    let chosen = |definition: &Definition| names.contains(&definition.name) || in_group(definition);
    Ok(all.into_iter().filter(chosen).collect())
}
