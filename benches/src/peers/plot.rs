//! Plots as SVG: a panel for each workload, in it a row for each server.

use std::fmt::Write;

use super::peer::{FLOOR, OURS};

/// One workload.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What was asked.
    pub title: String,
    /// Servers and their figures, none of them negative.
    pub rows: Vec<(String, Vec<f64>)>,
}

const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = 320.0;
const ROW_HEIGHT: f64 = 22.0;
/// Room for names, and behind the marks for a number.
const NAME_WIDTH: f64 = 84.0;
const NUMBER_WIDTH: f64 = 56.0;
/// What the longest title takes, however few panels there are.
const TITLE_WIDTH: f64 = 840.0;
const TITLE_HEIGHT: f64 = 30.0;
const HEAD_HEIGHT: f64 = 62.0;
const MARGIN: f64 = 20.0;
const OUR_COLOR: &str = "#d1495b";
const THEIR_COLOR: &str = "#7d93a8";
const FLOOR_COLOR: &str = "#c3ccd5";
const INK: &str = "#1f2933";
const FAINT: &str = "#e4e9ee";
const SMALL_INK: &str = "#66727f";

/// A bar for the first figure of each row, from 0 on; the scale is linear, and each panel has its own.
#[must_use]
pub fn bars(title: &str, note: &str, panels: &[Panel]) -> String {
    plot(title, note, panels, |svg, panel, left, top| {
        let largest = panel.rows.iter().map(|(_, figures)| figures[0]).fold(0.0, f64::max).max(1e-9);
        let marks = (0..).map(|number| f64::from(number) * step(largest)).take_while(|&mark| mark <= largest);
        grid(svg, marks, top, panel.rows.len(), |figure| left + figure / largest * mark_width());
        for (number, (name, figures)) in panel.rows.iter().enumerate() {
            let (y, width) = (top + number as f64 * ROW_HEIGHT, figures[0] / largest * mark_width());
            let color = color(name);
            let _ = writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{:.1}" width="{width:.1}" height="{:.1}" rx="2" fill="{color}"/>"#,
                y + 3.0,
                ROW_HEIGHT - 6.0
            );
            number_at(svg, left + width + 5.0, y, figures[0]);
        }
    })
}

/// A line from the first figure of each row, which is filled, to its last one, with a mark at each of them; the scale is logarithmic, and
/// each panel has its own.
#[must_use]
pub fn spans(title: &str, note: &str, panels: &[Panel]) -> String {
    plot(title, note, panels, |svg, panel, left, top| {
        let all = || panel.rows.iter().flat_map(|(_, figures)| figures).map(|figure| figure.max(1e-6));
        let (least, most) = (all().fold(f64::MAX, f64::min) * 0.8, all().fold(0.0, f64::max) * 1.05);
        let x = |figure: f64| left + (figure.max(1e-6) / least).ln() / (most / least).ln() * mark_width();
        let powers = (-6..7).flat_map(|power| [1.0, 2.0, 5.0].map(|mark| mark * 10_f64.powi(power)));
        let marks = powers.filter(|mark| (least..most).contains(mark));
        grid(svg, marks, top, panel.rows.len(), x);
        for (number, (name, figures)) in panel.rows.iter().enumerate() {
            let (y, color) = (top + (number as f64 + 0.5) * ROW_HEIGHT, color(name));
            let (Some(&first), Some(&last)) = (figures.first(), figures.last()) else { continue };
            let _ = writeln!(
                svg,
                r#"<line x1="{:.1}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{color}" stroke-width="3"/>"#,
                x(first),
                x(last)
            );
            for (at, &figure) in figures.iter().enumerate() {
                let (radius, fill) = if at == 0 { (5.0, color) } else { (3.5, "#ffffff") };
                let _ = writeln!(
                    svg,
                    r#"<circle cx="{:.1}" cy="{y:.1}" r="{radius}" fill="{fill}" stroke="{color}" stroke-width="2"/>"#,
                    x(figure)
                );
            }
            number_at(svg, x(last) + 9.0, y - ROW_HEIGHT / 2.0, last);
        }
    })
}

/// 1, 2 or 5 times a power of ten: so far from each other are two to five marks of a scale up to `largest`.
fn step(largest: f64) -> f64 {
    let power = 10_f64.powf(largest.log10().floor());
    match largest / power {
        5.0.. => power * 2.0,
        2.0.. => power,
        _ => power / 2.0,
    }
}

/// A line at each mark, and its number below.
fn grid(svg: &mut String, marks: impl Iterator<Item = f64>, top: f64, rows: usize, x: impl Fn(f64) -> f64) {
    let bottom = top + rows as f64 * ROW_HEIGHT;
    for mark in marks {
        let x = x(mark);
        let _ = writeln!(
            svg,
            r#"<line x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="{FAINT}"/>"#
        );
        text(svg, x, bottom + 11.0, "middle", 9.0, SMALL_INK, &short(mark));
    }
}

fn plot(
    title: &str,
    note: &str,
    panels: &[Panel],
    mut draw: impl FnMut(&mut String, &Panel, f64, f64),
) -> String {
    let rows = panels.iter().map(|panel| panel.rows.len()).max().unwrap_or(0);
    let panel_height = TITLE_HEIGHT + rows as f64 * ROW_HEIGHT + MARGIN;
    let columns = panels.len().clamp(1, COLUMNS);
    let width = (columns as f64 * PANEL_WIDTH).max(TITLE_WIDTH) + MARGIN * 2.0;
    let height = HEAD_HEIGHT + panels.len().div_ceil(columns) as f64 * panel_height + MARGIN;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="system-ui, sans-serif">
<rect width="100%" height="100%" fill="{}"/>
"#,
        "#ffffff"
    );
    text(&mut svg, MARGIN, 30.0, "start", 17.0, INK, title);
    text(&mut svg, MARGIN, 48.0, "start", 11.0, SMALL_INK, note);
    for (number, panel) in panels.iter().enumerate() {
        let left = MARGIN + (number % columns) as f64 * PANEL_WIDTH;
        let top = HEAD_HEIGHT + (number / columns) as f64 * panel_height;
        text(&mut svg, left, top + 18.0, "start", 13.0, INK, &panel.title);
        for (row, (name, _)) in panel.rows.iter().enumerate() {
            let y = top + TITLE_HEIGHT + (row as f64 + 0.5) * ROW_HEIGHT + 4.0;
            text(&mut svg, left + NAME_WIDTH - 8.0, y, "end", 12.0, INK, name);
        }
        draw(&mut svg, panel, left + NAME_WIDTH, top + TITLE_HEIGHT);
    }
    svg + "</svg>\n"
}

const fn mark_width() -> f64 {
    PANEL_WIDTH - NAME_WIDTH - NUMBER_WIDTH
}

fn color(name: &str) -> &'static str {
    match name {
        OURS => OUR_COLOR,
        FLOOR => FLOOR_COLOR,
        _ => THEIR_COLOR,
    }
}

fn number_at(svg: &mut String, x: f64, y: f64, number: f64) {
    text(svg, x, y + ROW_HEIGHT / 2.0 + 4.0, "start", 11.0, INK, &short(number));
}

/// Three digits, or all before the point.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{number:.digits$}");
    if digits > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: f64, color: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{text}</text>"#
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(rows: &[(&str, &[f64])]) -> Panel {
        let rows = rows.iter().map(|(name, figures)| ((*name).to_owned(), figures.to_vec())).collect();
        Panel { title: "GET & <more>".to_owned(), rows }
    }

    fn attributes(svg: &str, element: &str, name: &str) -> Vec<f64> {
        let lines = svg.lines().filter(|line| line.starts_with(&format!("<{element} ")));
        let value = |line: &str| line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok();
        lines.filter_map(value).collect()
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let svg = bars("t", "n", &[panel(&[(OURS, &[100.0]), ("redis", &[400.0]), ("none", &[0.0])])]);
        let widths = attributes(&svg, "rect", "width");
        assert_eq!(widths, [mark_width() / 4.0, mark_width(), 0.0]);
        assert_eq!(svg.matches(OUR_COLOR).count(), 1);
        assert!(svg.contains("GET &amp; &lt;more&gt;") && svg.ends_with("</svg>\n"));
        let (left, marks) = (MARGIN + NAME_WIDTH, attributes(&svg, "line", "x1"));
        let of_width = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| left + part * mark_width());
        assert_eq!(marks.len(), of_width.len());
        assert!(marks.iter().zip(of_width).all(|(mark, at)| (mark - at).abs() < 0.1), "{marks:?}");
    }

    #[test]
    fn spans_are_logarithmic_and_stay_inside() {
        let svg = spans("t", "n", &[panel(&[(OURS, &[0.1, 1.0, 10.0]), ("x", &[0.2, 0.2, 0.2])])]);
        let marks = attributes(&svg, "circle", "cx");
        assert!((marks[1] - marks[0] - (marks[2] - marks[1])).abs() < 0.2, "{marks:?}");
        assert!(attributes(&svg, "svg", "width")[0] > TITLE_WIDTH, "{svg}");
        let inside = MARGIN + NAME_WIDTH..=MARGIN + NAME_WIDTH + mark_width();
        assert!(marks.iter().all(|mark| inside.contains(mark)), "{marks:?}");
    }

    #[test]
    fn scales_have_few_round_marks() {
        for (largest, step_of) in [(1.0, 0.5), (4999.0, 1000.0), (5000.0, 2000.0), (0.03, 0.01), (19.0, 5.0)]
        {
            assert!((step(largest) / step_of - 1.0).abs() < 1e-9, "{largest}: {}", step(largest));
        }
    }

    #[test]
    fn numbers_are_short() {
        let shorts = [0.0834, 0.5, 1.0, 12.34, 105.6, 4111.4].map(short);
        assert_eq!(shorts, ["0.083", "0.5", "1", "12.3", "106", "4111"]);
    }
}
