//! A page in headless Chromium, driven through its DevTools protocol: over two pipes (file descriptors 3 and
//! 4, messages ended by NUL), so that it needs no port and no WebSocket.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use tinyjson::JsonValue;

use crate::support::{DEADLINE, eventually};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox", // root has no other way, and the page is ours
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--window-size=1600,1000",
];

/// Ended, and its profile removed, when dropped.
pub struct Page {
    browser: Child,
    requests: ChildStdin,
    answers: Receiver<JsonValue>,
    session: Option<JsonValue>,
    number: f64,
    _profile: tempfile::TempDir,
}

impl Page {
    /// Opens a file and waits until it has been loaded. `None`: this system has no browser, nor a package of one
    /// (Ubuntu); then there is nothing to see, but where every change is tested there has to be one.
    pub fn open(path: &Path) -> Option<Page> {
        let profile = tempfile::tempdir().unwrap();
        let name = BROWSERS.iter().find(|name| Command::new("which").arg(name).output().unwrap().status.success());
        let Some(name) = name else {
            assert!(std::env::var_os("CI").is_none(), "no Chromium here: `make test-tools` installs it");
            eprintln!("skipped: no Chromium here");
            return None;
        };
        // The shell moves the pipes to where the browser looks for them.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", name]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut browser = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, output) = (browser.stdin.take().unwrap(), browser.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = String::from_utf8_lossy(&message).parse() else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut page = Page { browser, requests, answers, session: None, number: 0.0, _profile: profile };
        let target = page.ask("Target.createTarget", [("url", text("about:blank"))]);
        let attach = [("targetId", target["targetId"].clone()), ("flatten", true.into())];
        page.session = Some(page.ask("Target.attachToTarget", attach)["sessionId"].clone());
        page.go_to(path);
        Some(page)
    }

    /// Another file in the same window; returns when it has been loaded.
    pub fn go_to(&mut self, path: &Path) {
        let url = format!("file://{}", path.display());
        self.ask("Page.navigate", [("url", text(&url))]);
        let name = path.file_name().unwrap().to_str().unwrap();
        let loaded = format!("document.readyState === 'complete' && location.pathname.endsWith('/{name}')");
        eventually("the page", || self.holds(&loaded));
    }

    pub fn ask<const N: usize>(&mut self, method: &str, params: [(&str, JsonValue); N]) -> JsonValue {
        self.number += 1.0;
        let mut request = vec![("id", self.number.into()), ("method", text(method)), ("params", object(params))];
        request.extend(self.session.clone().map(|session| ("sessionId", session)));
        self.requests.write_all(object(request).stringify().unwrap().as_bytes()).unwrap();
        self.requests.write_all(&[0]).unwrap();
        loop {
            let answer = self.answers.recv_timeout(DEADLINE).expect("an answer of the browser");
            let answer: &HashMap<String, JsonValue> = answer.get().unwrap();
            if answer.get("id") == Some(&self.number.into()) {
                return answer.get("result").unwrap_or_else(|| panic!("{method}: {answer:?}")).clone();
            }
        }
    }

    /// What an expression comes to in the page.
    fn value(&mut self, expression: &str) -> JsonValue {
        let params = [("expression", text(expression)), ("returnByValue", true.into())];
        let answer = self.ask("Runtime.evaluate", params);
        let answer: &HashMap<String, JsonValue> = answer.get().unwrap();
        assert!(!answer.contains_key("exceptionDetails"), "{expression}: {answer:?}");
        let result: &HashMap<String, JsonValue> = answer["result"].get().unwrap();
        result.get("value").cloned().unwrap_or(JsonValue::Null)
    }

    pub fn text(&mut self, expression: &str) -> String {
        self.value(expression).get::<String>().unwrap_or_else(|| panic!("{expression} is no text")).clone()
    }

    pub fn number(&mut self, expression: &str) -> f64 {
        *self.value(expression).get().unwrap_or_else(|| panic!("{expression} is no number"))
    }

    pub fn holds(&mut self, expression: &str) -> bool {
        *self.value(expression).get().unwrap_or_else(|| panic!("{expression} is neither true nor false"))
    }

    /// Runs something in the page.
    pub fn make(&mut self, statement: &str) {
        self.value(statement);
    }

    /// A key of the keyboard, for whatever has the focus.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            other => panic!("no code for {other}"),
        };
        for kind in ["rawKeyDown", "keyUp"] {
            let code = ("windowsVirtualKeyCode", f64::from(code).into());
            self.ask("Input.dispatchKeyEvent", [("type", text(kind)), ("key", text(key)), ("code", text(key)), code]);
        }
    }

    pub fn prefer(&mut self, scheme: &str) {
        let feature = object([("name", text("prefers-color-scheme")), ("value", text(scheme))]);
        self.ask("Emulation.setEmulatedMedia", [("features", vec![feature].into())]);
    }
}

fn text(words: &str) -> JsonValue {
    words.to_string().into()
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, JsonValue)>) -> JsonValue {
    fields.into_iter().map(|(key, value)| (key.to_string(), value)).collect::<HashMap<_, _>>().into()
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        if !std::thread::panicking() {
            eventually("the browser's end", || self.browser.try_wait().is_ok_and(|status| status.is_some()));
        }
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
