/** What of a language's syntax tree is a function, and what is a decision in one. */
interface Grammar {
  /** Of the parser's file. */
  readonly name: string;
  readonly functions: readonly string[];
  /** What functions stand in that has a name. */
  readonly holders: readonly string[];
  /** A choice among many, as `switch` and `match`, is one decision: a flat list of cases is read as easily as a table. */
  readonly decisions: readonly string[];
}

const script: Omit<Grammar, 'name'> = {
  functions: [
    'function_declaration',
    'function_expression',
    'arrow_function',
    'method_definition',
    'generator_function',
    'generator_function_declaration',
  ],
  holders: ['class_declaration', 'class', 'abstract_class_declaration'],
  decisions: [
    'if_statement',
    'for_statement',
    'for_in_statement',
    'while_statement',
    'do_statement',
    'switch_statement',
    'catch_clause',
    'ternary_expression',
    '&&',
    '||',
    '??',
  ],
};

const grammars: readonly (readonly [endings: RegExp, grammar: Grammar])[] = [
  [/\.[cm]?jsx?$/, { name: 'javascript', ...script }],
  [/\.[cm]?ts$/, { name: 'typescript', ...script }],
  [/\.tsx$/, { name: 'tsx', ...script }],
  [
    /\.py$/,
    {
      name: 'python',
      functions: ['function_definition', 'lambda'],
      holders: ['class_definition'],
      decisions: [
        'if_statement',
        'elif_clause',
        'for_statement',
        'while_statement',
        'except_clause',
        'match_statement',
        'conditional_expression',
        'if_clause',
        'and',
        'or',
      ],
    },
  ],
  [
    /\.go$/,
    {
      name: 'go',
      functions: ['function_declaration', 'method_declaration', 'func_literal'],
      holders: [],
      decisions: ['if_statement', 'for_statement', 'expression_switch_statement', 'type_switch_statement', 'select_statement', '&&', '||'],
    },
  ],
  [
    /\.rs$/,
    {
      name: 'rust',
      functions: ['function_item', 'closure_expression'],
      holders: ['impl_item', 'trait_item', 'mod_item'],
      decisions: ['if_expression', 'while_expression', 'loop_expression', 'for_expression', 'match_expression', '&&', '||'],
    },
  ],
  [
    /\.java$/,
    {
      name: 'java',
      functions: ['method_declaration', 'constructor_declaration', 'lambda_expression'],
      holders: ['class_declaration', 'interface_declaration', 'enum_declaration', 'record_declaration'],
      decisions: [
        'if_statement',
        'for_statement',
        'enhanced_for_statement',
        'while_statement',
        'do_statement',
        'switch_expression',
        'catch_clause',
        'ternary_expression',
        '&&',
        '||',
      ],
    },
  ],
];

/** Undefined for what is not measured. */
export const grammarOf = (path: string): Grammar | undefined => grammars.find(([endings]) => endings.test(path))?.[1];

export type { Grammar };
