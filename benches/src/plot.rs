//! Measurements as pictures: SVG files, of lines over two logarithmic axes.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 460);

/// Distinct in print, too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(204, 0, 0),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(90, 90, 90),
];

/// What is drawn: how the axes are called, what they reach at least, and lines of points, which are positive.
#[derive(Debug)]
pub struct Plot<'a> {
    /// Above it.
    pub title: &'a str,
    /// What goes to the right.
    pub x: &'a str,
    /// What goes up.
    pub y: &'a str,
    /// From where to where it goes up, if the lines are not beyond it.
    pub reach: (f64, f64),
    /// How each is called, and its points from left to right.
    pub lines: &'a [(&'a str, Vec<(f64, f64)>)],
}

impl Plot<'_> {
    /// Writes it to a file.
    ///
    /// # Errors
    ///
    /// Those of the file, and of the drawing library.
    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter().copied());
        let (left, right) =
            points().fold((f64::MAX, 1.0), |(left, right), (x, _)| (x.min(left), x.max(right)));
        let (low, high) = points().fold(self.reach, |(low, high), (_, y)| (y.min(low), y.max(high)));
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .margin_right(240)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((left * 0.9..right * 1.1).log_scale(), (low * 0.9..high * 1.1).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y}"))
            .draw()?;
        // The library's own legend cannot stand beside the lines, where it hides none of them.
        let left = i32::try_from(SIZE.0)? - 230;
        for (place, ((name, points), colour)) in (0..).zip(self.lines.iter().zip(COLOURS.iter().cycle())) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            let middle = 50 + 20 * place;
            area.draw(&PathElement::new([(left, middle), (left + 20, middle)], colour.stroke_width(3)))?;
            area.draw(&Text::new(*name, (left + 28, middle - 6), ("sans-serif", 14)))?;
        }
        area.present()?;
        Ok(())
    }
}
