//! A page of Markdown, as far as it is checked.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use pulldown_cmark::{BrokenLink, CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::anchor::Anchors;

/// All pages of the repository, by their paths from its root.
#[derive(Debug, Default)]
pub struct Pages(BTreeMap<PathBuf, Page>);

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) links: Vec<Link>,
    /// The names of its headings.
    pub(crate) anchors: HashSet<String>,
    pub(crate) blocks: Vec<Block>,
    /// Code within text.
    pub(crate) codes: Vec<(usize, String)>,
    /// Comments that no block of code follows: with what they say.
    pub(crate) unheeded: Vec<(usize, String)>,
}

/// A link or an image.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) to: To,
}

/// Where it leads.
#[derive(Debug)]
pub(crate) enum To {
    Target(String),
    /// It names a definition that is not there.
    Undefined(String),
}

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    /// What the comment before it says, between `shows` and the end.
    pub(crate) shows: Option<String>,
}

impl Pages {
    /// Reads all Markdown files, but for those of folders that hold what was built and of hidden ones.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut pages = Self::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if entry.file_type()?.is_dir() {
                    if name != "target" && name != "node_modules" && !name.starts_with('.') {
                        folders.push(path);
                    }
                } else if name.ends_with(".md") {
                    let page = Page::parse(&fs::read_to_string(root.join(&path))?);
                    pages.0.insert(path, page);
                }
            }
        }
        Ok(pages)
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Page> {
        self.0.get(path)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Page)> {
        self.0.iter().map(|(path, page)| (path.as_path(), page))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many links all of them have.
    pub fn links(&self) -> usize {
        self.0.values().map(|page| page.links.len()).sum()
    }

    /// How many blocks of code are those of files.
    pub fn shown(&self) -> usize {
        self.0.values().flat_map(|page| &page.blocks).filter(|block| block.shows.is_some()).count()
    }
}

impl Page {
    /// The lines that people are to type, with where they stand.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (usize, &str)> {
        let consoles = self.blocks.iter().filter(|block| block.language == "console");
        consoles.flat_map(|block| {
            // The fence is a line of its own.
            let lines = block.text.lines().zip(block.line + 1..);
            lines.filter_map(|(text, line)| Some((line, text.strip_prefix("$ ")?)))
        })
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut anchors = Anchors::default();
        let mut heading: Option<String> = None;
        let mut block: Option<Block> = None;
        let mut comment: Option<(usize, String)> = None;
        let undefined = |link: BrokenLink<'_>| {
            // `[x]` alone is a text in brackets more often than a link.
            let meant = matches!(link.link_type, LinkType::Reference | LinkType::Collapsed);
            meant.then(|| (link.reference.into_string().into(), "".into()))
        };
        let parser = Parser::new_with_broken_link_callback(
            text,
            Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH,
            Some(undefined),
        );
        for (event, span) in parser.into_offset_iter() {
            let line = text[..span.start].matches('\n').count() + 1;
            let is_code = matches!(event, Event::Code(_));
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().map(|heading| anchors.name(&heading)));
                }
                Event::Start(
                    Tag::Link { link_type, dest_url, .. } | Tag::Image { link_type, dest_url, .. },
                ) => {
                    let to = match link_type {
                        LinkType::ReferenceUnknown | LinkType::CollapsedUnknown => {
                            To::Undefined(dest_url.into_string())
                        }
                        _ => To::Target(dest_url.into_string()),
                    };
                    page.links.push(Link { line, to });
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let shows = comment.take().map(|(_, shows)| shows);
                    block = Some(Block { line, language, text: String::new(), shows });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(text) | Event::Code(text) => {
                    if is_code {
                        page.codes.push((line, text.to_string()));
                    }
                    if let Some(block) = &mut block {
                        block.text += &text;
                    } else if let Some(heading) = &mut heading {
                        *heading += &text;
                    }
                }
                Event::Html(html) => {
                    let says =
                        html.trim().strip_prefix("<!-- shows ").and_then(|rest| rest.strip_suffix("-->"));
                    if let Some(says) = says {
                        page.unheeded.extend(comment.replace((line, says.trim().to_owned())));
                    }
                }
                Event::Start(Tag::Paragraph) => page.unheeded.extend(comment.take()),
                _ => {}
            }
        }
        page.unheeded.extend(comment);
        page
    }
}
