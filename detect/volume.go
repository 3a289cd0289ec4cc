package detect

import "gatehouse/rules"

func newBaselineState(r *rules.Rule, e *Engine) state { return nil }
