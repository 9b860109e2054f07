//! What the compiler does not check.

mod layers;
mod purity;
mod sizes;
mod source;
mod unsafety;
mod words;

use std::path::Path;

use source::Tree;

/// Runs all checks and prints what they found.
///
/// # Errors
/// Something was found, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let mut problems = Vec::new();
    layers::check(&tree, &mut problems);
    sizes::check(&tree, &sizes::RATCHET, &mut problems);
    unsafety::check(&tree, &mut problems);
    purity::check(&tree, &mut problems);
    words::check(&tree, &mut problems);
    problems.sort();
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("tidy: {} files", tree.files.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} problems")),
    }
}
