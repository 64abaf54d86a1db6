export const huntPlanted = async (_say: (line: string) => boolean, _only: number | null): Promise<boolean> => true
