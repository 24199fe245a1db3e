package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/godwitdb/godwit/client"
)

func isSet(k client.Kind) bool {
	return slices.Contains([]client.Kind{client.Set, client.GSet, client.RWSet}, k)
}

func isCounter(k client.Kind) bool {
	return slices.Contains([]client.Kind{client.Counter, client.GCounter, client.BCounter}, k)
}

func isFlagKind(k client.Kind) bool { return k == client.Flag || k == client.DWFlag }

// jsonValue is a value as it stands in JSON.
func jsonValue(v *client.Value) any {
	switch {
	case isCounter(v.Kind):
		return v.Integer
	case isSet(v.Kind):
		return jsonList(v.Elements)
	case isFlagKind(v.Kind):
		return v.Flag
	case v.Kind == client.HLL:
		return v.Estimate
	case v.Kind == client.Map:
		return jsonFields(v.Fields)
	case v.Kind == client.ZSet:
		return jsonMembers(v.Members)
	}
	return jsonBytes(v.Bytes)
}

// jsonFields is a map as it stands in JSON.
func jsonFields(fields []client.Field) map[string]any {
	out := make(map[string]any, len(fields))
	for i, name := range fieldNames(fields) {
		out[name] = jsonValue(&fields[i].Value)
	}
	return out
}

// fieldNames gives every field its name if that is unambiguous, else kind:name.
// No two are the same.
func fieldNames(fields []client.Field) []string {
	plain, full := make([]string, len(fields)), make([]string, len(fields))
	count := map[string]int{}
	for i, f := range fields {
		plain[i] = nameText(f.Name)
		full[i] = f.Kind.String() + ":" + plain[i]
		count[plain[i]]++
	}
	out := slices.Clone(plain)
	for i := range fields {
		// A field may have the name that another gets with its kind.
		if count[plain[i]] > 1 || slices.Contains(full, plain[i]) {
			out[i] = full[i]
		}
	}
	return out
}

// nameText is the name of a field in JSON, whose names are text.
func nameText(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return "base64:" + base64.StdEncoding.EncodeToString([]byte(name))
}

type memberJSON struct {
	Member any     `json:"member"`
	Score  float64 `json:"score"`
	Rank   *uint64 `json:"rank,omitempty"`
}

func jsonMembers(members []client.Member) []memberJSON {
	out := []memberJSON{}
	for _, m := range members {
		out = append(out, memberJSON{Member: jsonBytes(m.Member), Score: m.Score})
	}
	return out
}

// scoreText is a score in its shortest exact form.
func scoreText(score float64) string {
	format := byte('f')
	if a := math.Abs(score); a >= 1e21 || a > 0 && a < 1e-6 {
		format = 'g'
	}
	return strconv.FormatFloat(score, format, -1, 64)
}

// shownValue is a value on one line of a table.
func shownValue(v *client.Value) string {
	switch {
	case isSet(v.Kind):
		return shownSet(v.Elements)
	case isFlagKind(v.Kind):
		return onOff(v.Flag)
	case v.Kind == client.HLL:
		return "~" + strconv.FormatUint(v.Estimate, 10)
	case v.Kind == client.Map:
		var parts []string
		for i, name := range fieldNames(v.Fields) {
			parts = append(parts, shown(name)+"="+shownValue(&v.Fields[i].Value))
		}
		return "{" + strings.Join(abbreviated(parts), ", ") + "}"
	case v.Kind == client.ZSet:
		var parts []string
		for _, m := range v.Members {
			parts = append(parts, shown(m.Member)+":"+scoreText(m.Score))
		}
		return "{" + strings.Join(abbreviated(parts), ", ") + "}"
	case isCounter(v.Kind):
		return strconv.FormatInt(v.Integer, 10)
	}
	return shown(v.Bytes)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// shownSet abbreviates the elements of a set.
func shownSet(elements []string) string {
	var parts []string
	for _, e := range elements {
		parts = append(parts, shown(e))
	}
	return "{" + strings.Join(abbreviated(parts), ",") + "}"
}

// abbreviated is as much of a list as a table shows.
func abbreviated(parts []string) []string {
	const most = 8
	if more := len(parts) - most; more > 0 {
		parts = append(slices.Clone(parts[:most]), fmt.Sprintf("… %d more", more))
	}
	return parts
}

// bareText is a value on one line for a program.
func bareText(v *client.Value) string {
	switch {
	case isCounter(v.Kind):
		return strconv.FormatInt(v.Integer, 10)
	case isSet(v.Kind):
		return "{" + strings.Join(v.Elements, ",") + "}"
	case isFlagKind(v.Kind):
		return strconv.FormatBool(v.Flag)
	case v.Kind == client.HLL:
		return strconv.FormatUint(v.Estimate, 10)
	case v.Kind == client.Map || v.Kind == client.ZSet:
		return jsonText(jsonValue(v))
	}
	return string(v.Bytes)
}

// jsonText is JSON on one line. It is for values that jsonValue made.
func jsonText(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// printBare prints a value for a program: an element, a member or a field with
// its value to a line, of other kinds the value.
func (in *invocation) printBare(v *client.Value) error {
	switch {
	case isSet(v.Kind):
		return in.lines(v.Elements)
	case v.Kind == client.Map:
		return in.fieldLines(v.Fields)
	case v.Kind == client.ZSet:
		for _, m := range v.Members {
			if err := in.s.line(m.Member); err != nil {
				return err
			}
		}
		return nil
	}
	return in.s.line(bareText(v))
}

// fieldLines prints fields with their values, collections as JSON.
func (in *invocation) fieldLines(fields []client.Field) error {
	for i, name := range fieldNames(fields) {
		v := &fields[i].Value
		text := bareText(v)
		if isSet(v.Kind) {
			text = jsonText(jsonValue(v))
		}
		if err := in.s.line(name, text); err != nil {
			return err
		}
	}
	return nil
}
