//! The text behind the flags in a help, taken apart into what a manual page has as sections.

/// What a paragraph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Commands to try.
    Examples,
    /// What the program ends with.
    ExitStatus,
    /// Whatever else is worth knowing.
    Notes,
}

/// All paragraphs of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) kind: Kind,
    pub(super) paragraphs: Vec<&'a str>,
}

/// In the order of a manual page; none is empty.
///
/// A paragraph begins with `Example` or `Exit codes:`, or is a note. One of which all lines but the first are indented, or all of them, goes on
/// with examples where it stands behind some.
pub(super) fn sections(help: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut before = None;
    for paragraph in help.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let mut lines = paragraph.lines();
        let (first, mut rest) = (lines.next().unwrap_or_default(), lines.peekable());
        let are_commands = (is_indented(first) || rest.peek().is_some()) && rest.all(is_indented);
        let kind = match () {
            () if first.starts_with("Example") => Kind::Examples,
            () if first.starts_with("Exit codes:") => Kind::ExitStatus,
            () if are_commands && before == Some(Kind::Examples) => Kind::Examples,
            () => Kind::Notes,
        };
        before = Some(kind);
        match sections.iter_mut().find(|section| section.kind == kind) {
            Some(section) => section.paragraphs.push(paragraph),
            None => sections.push(Section { kind, paragraphs: vec![paragraph] }),
        }
    }
    sections.sort_by_key(|section| section.kind);
    sections
}

/// Whether a line is to be shown as it is.
pub(super) fn is_indented(line: &str) -> bool {
    line.starts_with("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_is_taken_apart_by_how_its_paragraphs_begin() {
        let help = "Example, one:\n  a\n  b\n\nWith rules:\n  c\n\n  d\n\nIt says:\n  {}\nand ends.\n\nExit codes: 0 done.\n\nMore.";
        let section = |kind, paragraphs| Section { kind, paragraphs };
        assert_eq!(
            sections(help),
            [
                section(Kind::Examples, vec!["Example, one:\n  a\n  b", "With rules:\n  c", "  d"]),
                section(Kind::ExitStatus, vec!["Exit codes: 0 done."]),
                section(Kind::Notes, vec!["It says:\n  {}\nand ends.", "More."]),
            ]
        );
        assert_eq!(sections(""), []);
        assert_eq!(sections("On stdin:\n  {}")[0].kind, Kind::Notes, "no example stands before it");
    }
}
