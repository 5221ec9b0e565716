// What Ollama makes of a TEMPLATE and a request: Go's own text/template over the values that Ollama gives it.
//
// Written after the documentation and the behaviour of Ollama's template/template.go, api/types.go and server/prompt.go
// (names, types, key order and what is dropped are theirs; the code is not). Each line of standard input is
// {"template": "...", "request": {...}} with the request of /api/chat; each line of the output is {"prompt": "..."} or
// {"error": "..."}.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"
)

type request struct {
	Messages []message `json:"messages"`
	Tools    []tool    `json:"tools"`
	Think    any       `json:"think"`
}

// message is what a template sees of a turn; other fields of the request never reach it.
type message struct {
	Role       string     `json:"role"`
	Content    string     `json:"content"`
	Thinking   string     `json:"thinking"`
	ToolCalls  []toolCall `json:"tool_calls"`
	ToolName   string     `json:"tool_name"`
	ToolCallID string     `json:"tool_call_id"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Function calledFn `json:"function"`
}

type calledFn struct {
	Index     int       `json:"index"`
	Name      string    `json:"name"`
	Arguments arguments `json:"arguments"`
}

// arguments is a Go map: a template ranges over it, and JSON writes it, in the order of the sorted keys.
type arguments map[string]any

func (a arguments) String() string {
	if a == nil {
		return "{}"
	}
	return toJSON(a)
}

type tool struct {
	Type     string   `json:"type"`
	Items    any      `json:"items,omitempty"`
	Function function `json:"function"`
}

func (t tool) String() string { return toJSON(t) }

type tools []tool

func (t tools) String() string { return toJSON(t) }

type function struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  parameters `json:"parameters"`
}

type parameters struct {
	Type       string     `json:"type"`
	Defs       any        `json:"$defs,omitempty"`
	Items      any        `json:"items,omitempty"`
	Required   []string   `json:"required,omitempty"`
	Properties properties `json:"properties"`
}

type properties map[string]property

func (p properties) String() string {
	if p == nil {
		return "{}"
	}
	return toJSON(p)
}

type property struct {
	AnyOf       []property   `json:"anyOf,omitempty"`
	Type        propertyType `json:"type,omitempty"`
	Items       any          `json:"items,omitempty"`
	Description string       `json:"description,omitempty"`
	Enum        []any        `json:"enum,omitempty"`
	Properties  *nested      `json:"properties,omitempty"`
	Required    []string     `json:"required,omitempty"`
}

// propertyType is one name or several; one is written as a string.
type propertyType []string

func (p *propertyType) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*p = propertyType{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(p))
}

func (p propertyType) MarshalJSON() ([]byte, error) {
	if len(p) == 1 {
		return json.Marshal(p[0])
	}
	return json.Marshal([]string(p))
}

func (p propertyType) String() string {
	switch len(p) {
	case 0:
		return ""
	case 1:
		return p[0]
	}
	return fmt.Sprint([]string(p))
}

// nested keeps the order of the request: only below the first level is it kept.
type nested struct {
	keys   []string
	values map[string]property
}

func (n *nested) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &n.values); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		n.keys = append(n.keys, key.(string))
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return err
		}
	}
	return nil
}

func (n nested) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, key := range n.keys {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(toJSON(key) + ":" + toJSON(n.values[key]))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// ToMap is what a template may call; the order is lost there too.
func (n *nested) ToMap() map[string]property {
	if n == nil {
		return nil
	}
	return n.values
}

func (n *nested) Len() int {
	if n == nil {
		return 0
	}
	return len(n.keys)
}

func toJSON(value any) string {
	data, _ := json.Marshal(value)
	return string(data)
}

var functions = template.FuncMap{
	"json":          toJSON,
	"currentDate":   func(...string) string { return time.Now().Format("2006-01-02") },
	"yesterdayDate": func(...string) string { return time.Now().AddDate(0, 0, -1).Format("2006-01-02") },
}

// collate joins neighbours of one role, tool results excepted, and gathers all system texts.
func collate(given []message) (string, []*message) {
	var system []string
	var joined []*message
	for i := range given {
		turn := &given[i]
		turn.Role = strings.ToLower(turn.Role)
		if turn.Role == "system" {
			system = append(system, turn.Content)
		}
		if n := len(joined); n > 0 && joined[n-1].Role == turn.Role && turn.Role != "tool" {
			joined[n-1].Content += "\n\n" + turn.Content
		} else {
			joined = append(joined, turn)
		}
	}
	return strings.Join(system, "\n\n"), joined
}

func render(text string, asked request) (string, error) {
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, ".Messages") {
		return "", fmt.Errorf("the template does not use .Messages: Ollama would run it once for each question")
	}
	level, isLevel := asked.Think.(string)
	on, _ := asked.Think.(bool)
	system, messages := collate(asked.Messages)
	var out strings.Builder
	err = parsed.Execute(&out, map[string]any{
		"System":     system,
		"Messages":   messages,
		"Tools":      tools(asked.Tools),
		"Response":   "",
		"Think":      on || isLevel,
		"ThinkLevel": level,
		"IsThinkSet": asked.Think != nil,
	})
	return out.String(), err
}

func answer(line []byte) map[string]string {
	var asked struct {
		Template string  `json:"template"`
		Request  request `json:"request"`
	}
	if err := json.Unmarshal(line, &asked); err != nil {
		return map[string]string{"error": err.Error()}
	}
	prompt, err := render(asked.Template, asked.Request)
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	return map[string]string{"prompt": prompt}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		fmt.Println(toJSON(answer(lines.Bytes())))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
