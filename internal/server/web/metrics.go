package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source is a part whose numbers are shown: Stats returns a struct, or a slice of structs that are told
// apart by their text fields.
type Source struct {
	Part  string
	Stats func() any
}

// Metrics prints the numbers of all sources for Prometheus, each as candor_PART_FIELD with the names
// that the fields have in JSON or Go, beside those of the process. Text fields become labels; a map of
// numbers becomes one metric whose label "kind" is the key.
func Metrics(sources ...Source) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector(sources))
	// One number that is wrong must not hide the others.
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

type collector []Source

// Describe sends nothing: which numbers there are is known when they are collected.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c {
		text, err := json.Marshal(s.Stats())
		if err != nil {
			continue
		}
		var rows []map[string]any
		if json.Unmarshal(text, &rows) != nil {
			var row map[string]any
			if json.Unmarshal(text, &row) != nil {
				continue
			}
			rows = []map[string]any{row}
		}
		for _, row := range rows {
			collect(out, s.Part, row)
		}
	}
}

func collect(out chan<- prometheus.Metric, part string, row map[string]any) {
	labels := prometheus.Labels{}
	for field, value := range row {
		if text, ok := value.(string); ok {
			labels[snake(field)] = text
		}
	}
	for field, value := range row {
		name := "candor_" + part + "_" + snake(field)
		kinds, ok := value.(map[string]any)
		if !ok {
			send(out, part, name, labels, value)
			continue
		}
		for kind, v := range kinds {
			byKind := maps.Clone(labels)
			byKind["kind"] = kind
			send(out, part, name, byKind, v)
		}
	}
}

// send sends a value that is a number or a flag; of others it says nothing.
func send(out chan<- prometheus.Metric, part, name string, labels prometheus.Labels, value any) {
	v, ok := value.(float64)
	if b, isBool := value.(bool); isBool {
		ok = true
		if b {
			v = 1
		}
	}
	if ok {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, "See Stats in the package "+part+".", nil, labels), prometheus.UntypedValue, v)
	}
}

// snake turns a field's name, in Go's or JSON's manner, into that of a metric.
func snake(field string) string {
	var b strings.Builder
	lower := false
	for _, r := range field {
		if unicode.IsUpper(r) && lower {
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(b.String(), "-", "_")
}
