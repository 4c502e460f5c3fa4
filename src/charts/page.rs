//! A page: its frame, its style sheet, its charts.

use super::chart::{Chart, ChartError};
use super::palette;
use super::text::escape;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg);
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); margin: .25rem 0 1.5rem; } .note { color: var(--soft); margin: 0 0 1rem; max-width: 50rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; max-width: 40rem; } figcaption { font-weight: 600; }
figcaption span { font-weight: 400; margin-left: 1em; white-space: nowrap; }
figcaption span::before { content: ''; display: inline-block; width: 1.3em; margin-right: .4em;
  vertical-align: middle; border-top: 2px solid currentColor; }
figcaption .dashed::before { border-top-style: dashed; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); }
svg [stroke='#DDDDDD'] { stroke: var(--grid); } svg [stroke='#888888'] { stroke: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; white-space: nowrap; padding: .2rem .8rem; border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 500; } th.text, td.text { text-align: left; }
.config th, .config td { text-align: left; white-space: normal; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
";

/// A page in the making.
#[derive(Clone, Debug)]
pub struct Page {
    html: String,
}

impl Page {
    /// Begins a page with this title, which is text.
    pub fn new(title: &str) -> Self {
        let title = escape(&title);
        let (light, dark) = (palette::variables(false), palette::variables(true));
        let rules = palette::rules();
        Self {
            html: format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
                 <style>\n:root {{ color-scheme: light dark; --fg: #1c1c1e; --bg: #ffffff; --soft: #6b6b70; \
                 --grid: #e4e4e8; {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ --fg: #e6e6ea; \
                 --bg: #17181b; --soft: #9a9aa2; --grid: #303238; {dark}}} }}{STYLE}{rules}</style>\n\
                 </head>\n<body>\n<h1>{title}</h1>\n"
            ),
        }
    }

    /// Adds HTML. What comes from files must have gone through [`escape`].
    pub fn push(&mut self, html: &str) {
        self.html += html;
    }

    /// Adds a section's heading, which is text.
    pub fn heading(&mut self, text: &str) {
        self.html += &format!("<h2>{}</h2>\n", escape(&text));
    }

    /// Adds charts, side by side where there is room.
    ///
    /// # Errors
    /// One of them cannot be drawn.
    pub fn charts<'a>(
        &mut self,
        charts: impl IntoIterator<Item = &'a Chart>,
    ) -> Result<(), ChartError> {
        self.html += "<div class=\"plots\">\n";
        for chart in charts {
            self.html += &chart.figure()?;
        }
        self.html += "</div>\n";
        Ok(())
    }

    /// The whole page.
    pub fn finish(self) -> String {
        self.html + "</body>\n</html>\n"
    }
}
