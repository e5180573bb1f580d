/** The label by which a person lets a task make gates easier. */
export const weakeningLabel = 'allow-weaker-gates';

/** Told with whatever is red for that alone: the agent may mend it, and a person may want it. */
export const wayOut = `If that is meant, a person gives the task the label ${weakeningLabel}.`;
