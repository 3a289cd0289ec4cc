package slackfake

import (
	"encoding/json"
	"fmt"
	"net/url"
	"unicode/utf8"
)

// Limits of blocks, as Slack documents them, in characters or pieces.
const (
	maxBlocks        = 50
	maxHeaderText    = 150
	maxSectionText   = 3_000
	maxFieldText     = 2_000
	maxSectionFields = 10
	maxContext       = 10
	maxActions       = 25
	maxButtonText    = 75
	maxButtonURL     = 3_000
	maxBlockID       = 255
	minTableRows     = 2
	maxTableRows     = 101
	maxTableColumns  = 20
	maxTablePage     = 100
)

// block is any block, as far as it is checked.
type block struct {
	Type     string            `json:"type"`
	BlockID  string            `json:"block_id"`
	Text     *textObject       `json:"text"`
	Fields   []textObject      `json:"fields"`
	Elements []json.RawMessage `json:"elements"`
	Caption  string            `json:"caption"`
	PageSize int               `json:"page_size"`
	Rows     [][]cell          `json:"rows"`
}

type textObject struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type cell struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// element is an element of actions, context or rich text.
type element struct {
	Type     string            `json:"type"`
	Text     json.RawMessage   `json:"text"`
	URL      string            `json:"url"`
	ActionID string            `json:"action_id"`
	Style    json.RawMessage   `json:"style"`
	Elements []json.RawMessage `json:"elements"`
}

// checker gathers what is wrong with blocks, and how much text they hold.
type checker struct {
	problems []string
	chars    int
	at       string
}

// checkBlocks returns the sum of the blocks' text and what is wrong with them.
func checkBlocks(raw json.RawMessage) (int, []string) {
	var blocks []block
	if err := json.Unmarshal(raw, &blocks); err != nil {
		return 0, []string{"blocks: " + err.Error()}
	}
	c := &checker{}
	c.want(len(blocks) <= maxBlocks, "no more than %d items allowed [json-pointer:/blocks]", maxBlocks)
	for n := range blocks {
		c.at = fmt.Sprintf("/blocks/%d", n)
		c.block(&blocks[n])
	}
	return c.chars, c.problems
}

func (c *checker) want(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, fmt.Sprintf(format, args...)+" ["+c.at+"]")
	}
}

// count checks the length of a text and adds it to the sum.
func (c *checker) count(s string, limit int) {
	n := utf8.RuneCountInString(s)
	c.chars += n
	c.want(n > 0, "must be more than 0 characters")
	c.want(n <= limit, "must be less than %d characters", limit+1)
}

func (c *checker) block(b *block) {
	c.want(len(b.BlockID) <= maxBlockID, "block_id is too long")
	switch b.Type {
	case "header":
		c.want(b.Text != nil && b.Text.Type == "plain_text", "header needs plain_text")
		c.text(b.Text, maxHeaderText)
	case "section":
		c.want(b.Text != nil || len(b.Fields) > 0, "section needs text or fields")
		c.text(b.Text, maxSectionText)
		c.want(len(b.Fields) <= maxSectionFields, "no more than %d fields", maxSectionFields)
		for n := range b.Fields {
			c.text(&b.Fields[n], maxFieldText)
		}
	case "context":
		c.list(b.Elements, maxContext, c.contextElement)
	case "actions":
		c.list(b.Elements, maxActions, c.button)
	case "rich_text":
		c.list(b.Elements, maxActions*maxActions, c.richElement)
	case "data_table":
		c.table(b)
	case "divider":
	default:
		c.want(false, "unsupported type: %s", b.Type)
	}
}

func (c *checker) text(t *textObject, limit int) {
	if t == nil {
		return
	}
	c.want(t.Type == "plain_text" || t.Type == "mrkdwn", "unsupported type of text: %q", t.Type)
	c.count(t.Text, limit)
}

func (c *checker) list(raw []json.RawMessage, limit int, check func(*element, json.RawMessage)) {
	c.want(len(raw) > 0, "must have elements")
	c.want(len(raw) <= limit, "no more than %d elements", limit)
	for _, r := range raw {
		var e element
		if err := json.Unmarshal(r, &e); err != nil {
			c.want(false, "element: %v", err)
			continue
		}
		check(&e, r)
	}
}

func (c *checker) contextElement(_ *element, raw json.RawMessage) {
	var t textObject
	if err := json.Unmarshal(raw, &t); err != nil {
		c.want(false, "context element: %v", err)
		return
	}
	c.text(&t, maxSectionText)
}

func (c *checker) button(e *element, _ json.RawMessage) {
	var t textObject
	c.want(e.Type == "button", "unsupported element: %s", e.Type)
	c.want(json.Unmarshal(e.Text, &t) == nil && t.Type == "plain_text", "button needs plain_text")
	c.count(t.Text, maxButtonText)
	c.want(e.ActionID != "" && len(e.ActionID) <= maxBlockID, "button needs an action_id")
	if e.URL != "" {
		u, err := url.Parse(e.URL)
		c.want(err == nil && u.Host != "" && len(e.URL) <= maxButtonURL, "button has an invalid url")
	}
}

// richElement checks the first level of rich text.
func (c *checker) richElement(e *element, _ json.RawMessage) {
	switch e.Type {
	case "rich_text_section", "rich_text_preformatted", "rich_text_quote":
		c.list(e.Elements, 1_000, c.richText)
	case "rich_text_list":
		var style string
		c.want(json.Unmarshal(e.Style, &style) == nil && (style == "ordered" || style == "bullet"), "list needs a style")
		c.list(e.Elements, 1_000, func(item *element, _ json.RawMessage) {
			c.want(item.Type == "rich_text_section", "list takes sections only, not %s", item.Type)
			c.list(item.Elements, 1_000, c.richText)
		})
	default:
		c.want(false, "unsupported rich text: %s", e.Type)
	}
}

// richText checks the leaves of rich text. Those that notify people are real
// Slack, and allowed here too: that ours has none is for our tests to say.
func (c *checker) richText(e *element, _ json.RawMessage) {
	switch e.Type {
	case "text":
		var s string
		c.want(json.Unmarshal(e.Text, &s) == nil, "text must be a string")
		c.count(s, maxBlockChars)
	case "link", "user", "channel", "usergroup", "broadcast", "emoji", "date", "color":
	default:
		c.want(false, "unsupported rich text element: %s", e.Type)
	}
}

func (c *checker) table(b *block) {
	c.want(b.Caption != "", "data_table needs a caption")
	c.chars += utf8.RuneCountInString(b.Caption)
	c.want(len(b.Rows) >= minTableRows && len(b.Rows) <= maxTableRows, "data_table needs %d to %d rows", minTableRows, maxTableRows)
	c.want(b.PageSize >= 0 && b.PageSize <= maxTablePage, "page_size must be 1 to %d", maxTablePage)
	for n, row := range b.Rows {
		c.want(len(row) > 0 && len(row) <= maxTableColumns, "row %d needs 1 to %d cells", n, maxTableColumns)
		c.want(len(row) == len(b.Rows[0]), "row %d is not as wide as the header", n)
		for _, cell := range row {
			c.want(cell.Type == "raw_text" || (n > 0 && cell.Type == "raw_number"), "unsupported cell: %s", cell.Type)
			c.count(cell.Text, maxFieldText)
		}
	}
}
