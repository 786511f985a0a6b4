/** Functions of ours that may take more than 3% of the time of a hot path: by name, with the reason why. */
export const reasons: Readonly<Record<string, string>> = {}
