package report

import (
	"image/color"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/echobun/echobun/bench/measure"
	"github.com/echobun/echobun/bench/peer"
	"github.com/echobun/echobun/bench/work"
)

// The files of the plots.
const (
	routingFile = "routing.svg"
	requestFile = "request.svg"
	startFile   = "startup.svg"
)

func relativeFile(kind string) string { return "relative-" + strings.ToLower(kind) + ".svg" }

// colours are told apart by people who see few, too (after Okabe and Ito).
var colours = map[string]color.Color{
	peer.Echobun:    color.RGBA{0, 114, 178, 255},
	peer.BunTuned:   color.RGBA{86, 180, 233, 255},
	peer.BunDefault: color.RGBA{0, 158, 115, 255},
	peer.GormTuned:  color.RGBA{230, 159, 0, 255},
	peer.Gorm:       color.RGBA{213, 94, 0, 255},
	peer.Sqlx:       color.RGBA{204, 121, 167, 255},
	peer.Floor:      color.RGBA{150, 150, 150, 255},
}

// barred are the peers in plots with bars, in order.
var barred = []string{peer.Floor, peer.Sqlx, peer.Echobun, peer.BunTuned, peer.BunDefault, peer.GormTuned, peer.Gorm}

func (r *Results) plot(dir string) error {
	for _, kind := range Kinds {
		if err := r.relative(kind, filepath.Join(dir, relativeFile(kind))); err != nil {
			return err
		}
	}
	if err := r.growthPlot(work.GrowRouting, "Time to begin a query", "microseconds", 1e3, filepath.Join(dir, routingFile)); err != nil {
		return err
	}
	if err := r.growthPlot(work.GrowRequest, "Time of a request that reads one row from SQLite in memory", "microseconds", 1e3,
		filepath.Join(dir, requestFile)); err != nil {
		return err
	}
	return r.startPlot(filepath.Join(dir, startFile))
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(8)
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		f.Variant = "Sans"
	}
	p.Title.TextStyle.Font.Size = vg.Points(13)
	// The words come after their colour, so that it does not matter that a
	// reader's font is wider.
	p.Legend.Top, p.Legend.Left = true, true
	return p
}

// relative draws each peer's time as a multiple of echobun's.
func (r *Results) relative(kind, file string) error {
	p := newPlot("Time on "+kind+" (echobun = 1, less is faster)", "", "times echobun's time")
	pages := work.On(kind, 64)
	labels := []string{"point select", "list of 100", "insert", "update", "has-many", "page, 64 clients"}
	groups := []*[2]string{}
	for _, s := range Statements {
		groups = append(groups, &[2]string{s, kind})
	}
	groups = append(groups, &[2]string{work.Page, pages})
	const width = 9
	for i, name := range barred {
		values := make(plotter.Values, len(groups))
		for j, g := range groups {
			if q, ok := ratio(r.group(g[0], g[1]), name, peer.Echobun); ok {
				values[j] = q.Value
			}
		}
		bars, err := plotter.NewBarChart(values, vg.Points(width))
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = colours[name], 0
		bars.Offset = vg.Points(width * (float64(i) - float64(len(barred)-1)/2))
		p.Add(bars)
		p.Legend.Add(name, bars)
	}
	line := plotter.NewFunction(func(float64) float64 { return 1 })
	line.Dashes, line.Width = []vg.Length{vg.Points(3), vg.Points(3)}, vg.Points(1)
	p.Add(line)
	p.NominalX(labels...)
	p.Legend.XOffs = 17.5 * vg.Centimeter
	p.X.Min, p.X.Max = -0.6, float64(len(groups))+1.2
	p.Y.Min = 0
	// Above this a bar says "much slower"; the tables have the number.
	p.Y.Max = min(p.Y.Max, 6)
	return p.Save(25.1*vg.Centimeter, 10*vg.Centimeter, file)
}

// lineColours are of what grows.
var lineColours = map[string]color.Color{
	work.ByBinds:      color.RGBA{0, 114, 178, 255},
	work.ByModels:     color.RGBA{213, 94, 0, 255},
	work.ByGoroutines: color.RGBA{0, 158, 115, 255},
}

// growthPlot draws a cost against the numbers that may grow.
func (r *Results) growthPlot(what, title, y string, unit float64, file string) error {
	p := newPlot(title, "number of binds, models or goroutines", y)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
	for _, g := range r.Growth {
		if g.What != what {
			continue
		}
		if err := addLine(p, "echobun, "+g.By, g.X, g.Ours, unit, lineColours[g.By], false); err != nil {
			return err
		}
		if err := addLine(p, "by hand, "+g.By, g.X, g.Hand, unit, lineColours[g.By], true); err != nil {
			return err
		}
	}
	p.Legend.XOffs = 0.5 * vg.Centimeter
	p.Y.Min = 0
	p.Y.Max *= 1.5 // Room for the legend.
	return p.Save(20*vg.Centimeter, 10*vg.Centimeter, file)
}

// startPlot draws the time to start.
func (r *Results) startPlot(file string) error {
	p := newPlot("Time to start (New and Register)", "number of models or binds", "milliseconds")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	for _, axis := range []struct {
		by    string
		sizes []int
		on    func(int) string
	}{{work.ByModels, work.StartModels, work.Models}, {work.ByBinds, work.StartBinds, work.Binds}} {
		var x []float64
		var ours, hand []measure.Series
		for _, n := range axis.sizes {
			if g := r.group(work.StartUp, axis.on(n)); g != nil {
				x = append(x, float64(n))
				ours, hand = append(ours, *series(g, peer.Echobun)), append(hand, *series(g, work.ByHand))
			}
		}
		if err := addLine(p, "echobun, "+axis.by, x, ours, 1e6, lineColours[axis.by], false); err != nil {
			return err
		}
		if err := addLine(p, "by hand, "+axis.by, x, hand, 1e6, lineColours[axis.by], true); err != nil {
			return err
		}
	}
	return p.Save(20*vg.Centimeter, 10*vg.Centimeter, file)
}

// addLine draws one line, with a glyph at each point.
func addLine(p *plot.Plot, name string, x []float64, s []measure.Series, unit float64, c color.Color, dashed bool) error {
	points := make(plotter.XYs, len(x))
	for i := range x {
		points[i] = plotter.XY{X: x[i], Y: measure.MedianOf(s[i].Time).Value / unit}
	}
	line, glyphs, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	glyphs.Color, glyphs.Shape = c, draw.CircleGlyph{}
	if dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		glyphs.Shape = draw.RingGlyph{}
	}
	p.Add(line, glyphs)
	p.Legend.Add(name, line, glyphs)
	return nil
}

// powers marks the powers of ten.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		v := math.Pow(10, e)
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', -1, 64)})
	}
	return ticks
}
