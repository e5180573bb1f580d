import { useCallback, useEffect, useRef } from 'react';

/** The focus goes on to what takes the place of what was pressed, and back once that is over. For whichever of the two is shown. */
export function useFocusHandedOn(open: boolean): (shown: HTMLElement | null) => void {
  const shown = useRef<HTMLElement>(null);
  const before = useRef(open);
  useEffect(() => {
    if (before.current !== open) shown.current?.focus();
    before.current = open;
  }, [open]);
  return useCallback((element) => {
    shown.current = element;
  }, []);
}
