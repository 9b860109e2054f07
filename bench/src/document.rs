//! Putting a generated table into a page that is otherwise written by hand.

use crate::rows::Group;

/// Replaces what stands between the markers of a group, each of which is a line of its own.
///
/// # Errors
/// The page does not have both markers once, in this order.
pub(crate) fn replace(page: &str, group: Group, generated: &str) -> Result<String, String> {
    let (begin, end) = markers(group);
    let (before, rest) = split_once(page, &begin)?;
    let (_, after) = split_once(rest, &end)?;
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}\n{after}",
        generated.trim()
    ))
}

/// The lines around the table of a group.
fn markers(group: Group) -> (String, String) {
    let name = group.name();
    (
        format!("<!-- bench/compare writes the {name} table from here -->"),
        format!("<!-- bench/compare writes the {name} table to here -->"),
    )
}

fn split_once<'a>(text: &'a str, line: &str) -> Result<(&'a str, &'a str), String> {
    let line = format!("{line}\n");
    let missing = || format!("the page lacks the line {}", line.trim());
    let (before, after) = text.split_once(&line).ok_or_else(missing)?;
    match after.contains(&line) {
        true => Err(format!("the page has the line {} twice", line.trim())),
        false => Ok((before, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "<!-- bench/compare writes the core table from here -->\n";
    const TO: &str = "<!-- bench/compare writes the core table to here -->\n";

    fn check(page: &str, expected: Result<&str, &str>) {
        match (replace(page, Group::Core, "| new |\n"), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn the_prose_around_the_table_stays() {
        let page = |table: &str| format!("# Title\n\n{FROM}{table}{TO}\nMore.\n");
        check(&page("\n| old |\n\n"), Ok(&page("\n| new |\n\n")));
        check(&page("\n| new |\n\n"), Ok(&page("\n| new |\n\n")));
        check(&page(""), Ok(&page("\n| new |\n\n")));
    }

    #[test]
    fn a_page_without_both_markers_is_left_alone() {
        check("# Title\n", Err("lacks"));
        check(FROM, Err("lacks"));
        check(&format!("{TO}{FROM}"), Err("lacks"));
        check(&format!("{FROM}{FROM}{TO}"), Err("twice"));
    }
}
