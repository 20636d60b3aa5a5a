//! Bars as an SVG picture.

use std::fmt::Write as _;

/// Groups of bars: one group for each workload, one bar for each target.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What stands above.
    pub title: String,
    /// The targets.
    pub series: Vec<String>,
    /// A workload's name and its values, one for each target.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

const COLOURS: &[&str] =
    &["#888888", "#b8b8b8", "#4c78a8", "#e4572e", "#f2a35e", "#54a24b", "#b279a2", "#9d755d"];
const BAR: usize = 16;
const GAP: usize = 26;
const LEFT: usize = 60;
const TOP: usize = 64;
const HEIGHT: usize = 260;
const BOTTOM: usize = 36;
/// Room for the names of the targets.
const LEGEND: usize = 118;

impl Bars {
    /// The picture.
    pub fn svg(&self) -> String {
        let group_width = self.series.len() * BAR + GAP;
        let width =
            (LEFT + self.groups.len() * group_width + GAP).max(LEFT + self.series.len() * LEGEND);
        let height = TOP + HEIGHT + BOTTOM;
        let values = self.groups.iter().flat_map(|(_, values)| values.iter().flatten());
        let (step, steps) = scale(values.fold(0.0, |most, value| value.max(most)));
        let most = step * steps as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
            escaped(&self.title)
        );
        for (place, name) in self.series.iter().enumerate() {
            let (x, colour) = (LEFT + place * LEGEND, COLOURS[place % COLOURS.len()]);
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"34\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"43\">{}</text>",
                x + 14,
                escaped(name)
            );
        }
        for line in 0..=steps {
            let y = TOP + HEIGHT - line * HEIGHT / steps;
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                LEFT - 6,
                y + 4,
                step * line as f64
            );
        }
        for (place, (name, values)) in self.groups.iter().enumerate() {
            group(&mut svg, LEFT + GAP / 2 + place * group_width, name, values, most);
        }
        svg + "</svg>\n"
    }
}

fn group(svg: &mut String, left: usize, name: &str, values: &[Option<f64>], most: f64) {
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let (x, colour) = (left + place * BAR, COLOURS[place % COLOURS.len()]);
        let length = value / most * HEIGHT as f64;
        let y = (TOP + HEIGHT) as f64 - length;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{}\" height=\"{length:.1}\" fill=\"{colour}\">\
             <title>{value:.1}</title></rect>",
            BAR - 2
        );
    }
    let middle = left + values.len() * BAR / 2;
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        TOP + HEIGHT + 18,
        escaped(name)
    );
}

/// The distance of the lines, and their number, for values up to `most`.
fn scale(most: f64) -> (f64, usize) {
    let mut step = 10_f64.powf((most.max(1e-3) / 5.0).log10().floor());
    for factor in [2.0, 2.5, 2.0] {
        if most / step > 5.0 {
            step *= factor;
        }
    }
    (step, ((most / step).ceil() as usize).max(1))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_reach_the_top() {
        for most in [0.0, 0.7, 3.0, 24.4, 99.0, 101.0, 43_750.0] {
            let (step, steps) = scale(most);
            assert!(step * steps as f64 >= most && (1..=5).contains(&steps), "{most}: {step}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_bar() {
        let bars = Bars {
            title: "a < b".into(),
            series: vec!["x".into(), "y".into()],
            groups: vec![("g".into(), vec![Some(2.0), None])],
        };
        let svg = bars.svg();
        assert_eq!(svg.matches("<title>").count(), 1);
        assert!(svg.contains("a &lt; b"));
    }
}
