import { type Limits, microUsd } from '../domain/budget.ts';
import type { Config } from './settings.ts';

/** Budgets as the settings have them, where the owner has set nothing else. */
export const limitsOf = (config: Config): Limits => ({
  day: microUsd(config.dailyBudgetUsd),
  ceiling: microUsd(config.dailyCeilingUsd),
  proactive: config.proactiveDailyTokens,
  run: microUsd(config.runBudgetUsd),
  conversation: config.conversationWarnTokens,
});
