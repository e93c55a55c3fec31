//! The chapters of `notes/` as their Markdown says they are: headings, links, anchors, quotes and experiments.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::step::{Step, steps};

pub struct Chapter {
    /// `05-listen.md`
    pub file: String,
    pub text: String,
    /// What a link may point to below the file's name: as GitHub names a heading, and `<a id="…">`.
    pub headings: Vec<String>,
    pub ids: Vec<String>,
    pub links: Vec<String>,
    pub pictures: Vec<String>,
    /// What stands between backticks.
    pub words: Vec<String>,
    /// The blocks that are quoted from the source.
    pub quotes: Vec<String>,
    pub experiments: Vec<Experiment>,
}

/// What is typed in one set of terminals: a block, and those that continue it.
pub struct Experiment {
    /// Where it stands: `05-listen.md:42`.
    pub place: String,
    /// The rows of the course that it proves.
    pub ids: Vec<String>,
    pub steps: Vec<Step>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All chapters, in their order.
pub fn chapters() -> Vec<Chapter> {
    let mut files: Vec<PathBuf> = read_dir(root().join("notes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

/// The chapter whose file begins with this number.
pub fn chapter(number: &str) -> Chapter {
    chapters()
        .into_iter()
        .find(|chapter| chapter.number() == number)
        .unwrap_or_else(|| panic!("no notes/{number}-*.md"))
}

impl Chapter {
    pub fn number(&self) -> &str {
        &self.file[..2]
    }

    /// The line of the header that begins with `- KEY: `, without that.
    pub fn header(&self, key: &str) -> &str {
        let key = format!("- {key}: ");
        let line = self.text.lines().find_map(|line| line.strip_prefix(&key));
        line.unwrap_or_else(|| panic!("{}: no line {key:?}", self.file))
    }
}

fn read(path: &Path) -> Chapter {
    let text = read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap().to_string();
    let mut chapter = Chapter {
        file,
        headings: Vec::new(),
        ids: Vec::new(),
        links: Vec::new(),
        pictures: Vec::new(),
        words: Vec::new(),
        quotes: Vec::new(),
        experiments: Vec::new(),
        text,
    };
    let text = chapter.text.clone();
    let (mut heading, mut block) = (None, None);
    for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => chapter.headings.extend(heading.take().map(|title| slug(&title))),
            Event::Start(Tag::Link { dest_url, .. }) => chapter.links.push(dest_url.to_string()),
            Event::Start(Tag::Image { dest_url, .. }) => chapter.pictures.push(dest_url.to_string()),
            Event::Html(html) | Event::InlineHtml(html) => chapter.ids.extend(id(&html)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => block = Some((info.to_string(), range.start)),
            Event::End(TagEnd::CodeBlock) => block = None,
            Event::Text(words) => match (&block, &mut heading) {
                (Some((info, start)), _) => {
                    let line = text[..*start].lines().count() + 1;
                    chapter.take_block(info, &words, line);
                }
                (None, Some(title)) => title.push_str(&words),
                (None, None) => {}
            },
            Event::Code(words) => {
                if let Some(title) = &mut heading {
                    title.push_str(&words);
                }
                chapter.words.push(words.to_string());
            }
            _ => {}
        }
    }
    chapter
}

impl Chapter {
    fn take_block(&mut self, info: &str, text: &str, line: usize) {
        let words: Vec<&str> = info.split_whitespace().collect();
        match *words.as_slice() {
            ["rust"] => self.quotes.push(text.to_string()),
            ["console", "experiment", ref ids @ ..] => self.experiments.push(Experiment {
                place: format!("notes/{}:{line}", self.file),
                ids: ids.iter().map(|id| id.to_string()).collect(),
                steps: steps(text, line, &[]),
            }),
            ["console", "continued"] => {
                let last = self.experiments.last_mut();
                let last = last.unwrap_or_else(|| panic!("{}:{line}: there is nothing to continue", self.file));
                let known: Vec<String> = last.steps.iter().map(|step| step.terminal.clone()).collect();
                last.steps.extend(steps(text, line, &known));
            }
            ["console" | "text"] => {}
            _ => panic!("{}:{line}: what is a block of {info:?}?", self.file),
        }
    }
}

/// `<a id="m2"></a>`
fn id(html: &str) -> Option<String> {
    Some(html.trim().strip_prefix("<a id=\"")?.split_once('"')?.0.to_string())
}

/// A heading as the fragment of a link: letters in lower case, blanks as `-`, no punctuation.
fn slug(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}
