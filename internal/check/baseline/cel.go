package baseline

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

// Limits of expressions. A unit of cost is about one step of evaluation.
const (
	maxExpressionBytes = 4 << 10
	maxExpressionDepth = 48
	maxExpressionNodes = 1500
	maxRegexProgram    = 2000 // instructions
	// maxCost ends one expression, whatever the image holds. It is also the
	// most that an expression may be estimated to cost for an image of the
	// usual size.
	maxCost = 1_000_000
	// maxImageCost ends the rules of one image. Rules after it are not
	// verified, and say so.
	maxImageCost = 20_000_000
	// usualList, usualMap and usualText are the sizes that estimates take.
	usualList = 200
	usualMap  = 64
	usualText = 64
	usualArgs = 8 // of one directive, rule or group
)

// variables are what expressions may speak of, and their types. File is there
// for rules with paths only.
var variables = []struct {
	name string
	typ  *cel.Type
	// absent stands in where a rule calls the variable optional and the
	// image has no such file.
	absent any
}{
	{"apk", cel.ListType(cel.StringType), []string{}},
	{"apt", object[APT](), &APT{}},
	{"banners", cel.ListType(object[Banner]()), []Banner{}},
	{"config", object[Config](), &Config{}},
	{"crypto_policy", cel.StringType, ""},
	{"group", cel.ListType(object[Group]()), []Group{}},
	{"limits", cel.ListType(object[Limit]()), []Limit{}},
	{"login_defs", options, map[string]string{}},
	{"mysql", object[MySQL](), &MySQL{}},
	{"nginx", object[Nginx](), &Nginx{}},
	{"pam", object[PAM](), &PAM{}},
	{"pam_su", cel.ListType(object[PAMRule]()), []PAMRule{}},
	{"passwd", cel.ListType(object[Account]()), []Account{}},
	{"profile", object[Profile](), &Profile{}},
	{"redis", object[Redis](), &Redis{}},
	{"set_id", cel.ListType(object[Node]()), []Node{}},
	{"shadow", cel.ListType(object[Password]()), []Password{}},
	{"sshd", object[SSHD](), &SSHD{}},
	{"sudo", object[Sudo](), &Sudo{}},
	{"tomcat_context", cel.ListType(object[Element]()), []Element{}},
	{"tomcat_server", cel.ListType(object[Element]()), []Element{}},
	{"tomcat_users", cel.ListType(object[Element]()), []Element{}},
	{"tomcat_web", object[TomcatWeb](), &TomcatWeb{}},
	{"useradd", options, map[string]string{}},
	{"world_writable", cel.ListType(object[Node]()), []Node{}},
	{"yum", object[Yum](), &Yum{}},
}

var options = cel.MapType(cel.StringType, cel.StringType)

func object[T any]() *cel.Type { return cel.ObjectType(reflect.TypeFor[T]().String()) }

// An environment compiles expressions: for rules about the whole image, and
// for those about single files.
type environment struct {
	image, file *cel.Env
}

func newEnvironment() (*environment, error) {
	opts := []cel.EnvOption{
		ext.NativeTypes(ext.ParseStructTag("json"), reflect.TypeFor[APT](), reflect.TypeFor[Banner](), reflect.TypeFor[Config](),
			reflect.TypeFor[Group](), reflect.TypeFor[Limit](), reflect.TypeFor[MySQL](), reflect.TypeFor[Nginx](), reflect.TypeFor[PAM](),
			reflect.TypeFor[PAMRule](), reflect.TypeFor[Account](), reflect.TypeFor[Profile](), reflect.TypeFor[Redis](), reflect.TypeFor[Node](),
			reflect.TypeFor[Password](), reflect.TypeFor[SSHD](), reflect.TypeFor[Sudo](), reflect.TypeFor[Element](), reflect.TypeFor[TomcatWeb](),
			reflect.TypeFor[Yum](), reflect.TypeFor[System]()),
		cel.ParserExpressionSizeLimit(maxExpressionBytes),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
		cel.Variable("distribution", object[System]()),
		optFunction(), numberFunction(), withinFunction(), lowerFunction(), hasWordFunction(), wordsFunction(),
	}
	for _, v := range variables {
		opts = append(opts, cel.Variable(v.name, v.typ))
	}
	im, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("expressions: %w", err)
	}
	file, err := im.Extend(cel.Variable("file", object[Node]()))
	if err != nil {
		return nil, fmt.Errorf("expressions: %w", err)
	}
	return &environment{im, file}, nil
}

// optFunction: options.opt("name", "default") is the value, or the default
// where there is none.
func optFunction() cel.EnvOption {
	return cel.Function("opt", cel.MemberOverload("options_opt", []*cel.Type{options, cel.StringType, cel.StringType}, cel.StringType,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if v, ok := find(args[0], args[1]); ok {
				return v
			}
			return args[2]
		})))
}

// numberFunction: options.number("name", default) is the value as a whole
// number, or the default where there is none or it is no number.
func numberFunction() cel.EnvOption {
	return cel.Function("number", cel.MemberOverload("options_number", []*cel.Type{options, cel.StringType, cel.IntType}, cel.IntType,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if v, ok := find(args[0], args[1]); ok {
				if s, ok := v.Value().(string); ok {
					if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
						return types.Int(n)
					}
				}
			}
			return args[2]
		})))
}

func find(m, key ref.Val) (ref.Val, bool) {
	mapper, ok := m.(traits.Mapper)
	if !ok {
		return nil, false
	}
	return mapper.Find(key)
}

// withinFunction: "0644".within("0640") says that the mode allows nothing that
// the other does not.
func withinFunction() cel.EnvOption {
	return cel.Function("within", cel.MemberOverload("mode_within", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			mode, err1 := strconv.ParseUint(fmt.Sprint(a.Value()), 8, 32)
			limit, err2 := strconv.ParseUint(fmt.Sprint(b.Value()), 8, 32)
			if err1 != nil || err2 != nil {
				return types.NewErr("within: want octal modes")
			}
			return types.Bool(mode&^limit == 0)
		})))
}

func lowerFunction() cel.EnvOption {
	return cel.Function("lower", cel.MemberOverload("string_lower", []*cel.Type{cel.StringType}, cel.StringType,
		cel.UnaryBinding(func(a ref.Val) ref.Val {
			s, _ := a.Value().(string)
			return types.String(strings.ToLower(s))
		})))
}

// hasWordFunction: "a,b c".has_word("b") looks for one of the words that commas,
// colons and blanks part.
func hasWordFunction() cel.EnvOption {
	return cel.Function("has_word", cel.MemberOverload("string_has_word", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			s, _ := a.Value().(string)
			w, _ := b.Value().(string)
			return types.Bool(hasWord(s, w))
		})))
}

// wordsFunction: "a,b c".words() are the parts between commas and blanks.
func wordsFunction() cel.EnvOption {
	return cel.Function("words", cel.MemberOverload("string_words", []*cel.Type{cel.StringType}, cel.ListType(cel.StringType),
		cel.UnaryBinding(func(a ref.Val) ref.Val {
			s, _ := a.Value().(string)
			return types.NewStringList(types.DefaultTypeAdapter, strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }))
		})))
}

// A compiledRule is a rule ready to be asked.
type compiledRule struct {
	when  cel.Program
	cases []compiledCase
	// needs are the variables without which the rule does not apply.
	needs []string
}

type compiledCase struct {
	found, pass cel.Program
}

// compile compiles the rule once. Its error says file and line.
func (r *Rule) compile(set *RuleSet) error {
	r.once.Do(func() {
		env, err := set.env()
		if err != nil {
			r.err = err
			return
		}
		e := env.image
		if len(r.Paths) > 0 {
			e = env.file
		}
		r.compiled, r.err = r.build(e)
	})
	return r.err
}

func (r *Rule) build(env *cel.Env) (*compiledRule, error) {
	out := &compiledRule{}
	for _, o := range r.optional {
		if !slices.ContainsFunc(variables, func(v struct {
			name   string
			typ    *cel.Type
			absent any
		}) bool {
			return v.name == o
		}) {
			return nil, fmt.Errorf("%s:%d: optional: no such fact %q", r.File, r.Line, o)
		}
	}
	var err error
	if r.when != nil {
		if out.when, _, err = r.program(env, r.when, out, cel.BoolType); err != nil {
			return nil, err
		}
	}
	for _, c := range r.cases {
		var cc compiledCase
		scope := env
		if c.found != nil {
			want := []*cel.Type{cel.StringType, cel.IntType, cel.BoolType, cel.ListType(cel.StringType)}
			if c.offenders {
				want = want[3:]
			}
			var typ *cel.Type
			if cc.found, typ, err = r.program(env, c.found, out, want...); err != nil {
				return nil, err
			}
			if scope, err = env.Extend(cel.Variable("found", typ)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", r.File, r.Line, err)
			}
		}
		if c.pass != nil {
			if cc.pass, _, err = r.program(scope, c.pass, out, cel.BoolType); err != nil {
				return nil, err
			}
		}
		out.cases = append(out.cases, cc)
	}
	slices.Sort(out.needs)
	out.needs = slices.Compact(out.needs)
	return out, nil
}

// program compiles one expression, which has to give one of the types.
func (r *Rule) program(env *cel.Env, x *expression, out *compiledRule, want ...*cel.Type) (cel.Program, *cel.Type, error) {
	ast, issues := env.Compile(x.text)
	if issues != nil && issues.Err() != nil {
		line, text := x.line, issues.Err().Error()
		if errs := issues.Errors(); len(errs) > 0 {
			line, text = x.line+max(0, errs[0].Location.Line()-1), errs[0].Message
		}
		return nil, nil, fmt.Errorf("%s:%d: %s", r.File, line, clip(text))
	}
	typ := ast.OutputType()
	if !slices.ContainsFunc(want, typ.IsExactType) {
		return nil, nil, fmt.Errorf("%s:%d: the expression gives %s: want %s", r.File, x.line, typ, joinTypes(want))
	}
	estimate, err := env.EstimateCost(ast, usualSize{})
	if err != nil {
		return nil, nil, fmt.Errorf("%s:%d: estimate cost: %w", r.File, x.line, err)
	}
	if estimate.Max > maxCost {
		return nil, nil, fmt.Errorf("%s:%d: the expression may cost %d steps: the limit is %d", r.File, x.line, estimate.Max, maxCost)
	}
	prg, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, nil, fmt.Errorf("%s:%d: %w", r.File, x.line, err)
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		for _, v := range variables {
			if reference.Name == v.name && !slices.Contains(r.optional, v.name) {
				out.needs = append(out.needs, v.name)
			}
		}
	}
	return prg, typ, nil
}

func joinTypes(ts []*cel.Type) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.String()
	}
	return strings.Join(names, " or ")
}

// usualSize tells the estimate how large facts usually are.
type usualSize struct{}

func (usualSize) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// shortLists are fields that hold the words of one line.
var shortLists = set("args", "members", "escapes", "listens", "options")

func (usualSize) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if n.ComputedSize() != nil {
		return nil
	}
	var size uint64
	switch n.Type().Kind() {
	case types.ListKind:
		size = usualList
		if p := n.Path(); len(p) > 0 && shortLists[p[len(p)-1]] {
			size = usualArgs
		}
	case types.MapKind:
		size = usualMap
	case types.StringKind, types.BytesKind, types.DynKind:
		size = usualText
	default:
		return nil
	}
	s := cost.RangedSizeEstimate(0, size)
	return &s
}

// errBudget means that the rules of an image have used their cost up.
var errBudget = errors.New("not verified: the rules of this image cost more than their budget")

// eval runs a program within the budget, and takes what it cost from it.
func eval(p cel.Program, vars map[string]any, budget *uint64) (ref.Val, error) {
	if *budget == 0 {
		return nil, errBudget
	}
	v, details, err := p.Eval(vars)
	spent := uint64(1)
	if details != nil {
		if c := details.ActualCost(); c != nil {
			spent += *c
		}
	}
	*budget -= min(*budget, spent)
	if err != nil {
		return nil, fmt.Errorf("not verified: %s", clip(err.Error()))
	}
	return v, nil
}
