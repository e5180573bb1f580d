export type Dialect = 'sqlite' | 'postgres';

export interface Migration {
  readonly name: string;
  readonly statements: (dialect: Dialect) => readonly string[];
}
